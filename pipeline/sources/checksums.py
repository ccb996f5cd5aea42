"""The checksums of TFRecord files: a record has one of its length, and one of its content, which stands behind it."""

import google_crc32c
import numpy as np
import numpy.typing as npt

SIZE = 4  # bytes of a checksum


def masked(content: bytes) -> int:
    """The checksum of these bytes: their CRC-32C, rotated and moved by a constant, as TensorFlow writes it."""
    crc = google_crc32c.value(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class Margins:
    """How far the contents of records reach beyond the pictures in them: by so many bytes before and behind each."""

    def __init__(self, before: npt.NDArray[np.int64], behind: npt.NDArray[np.int64]):
        """[pictures] each."""
        self._before, self._behind = before, behind

    def widened(
        self, indices: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Offsets and lengths of the records of these pictures, with their checksums, from those of the pictures."""
        before, behind = self._before[indices], self._behind[indices]
        return offsets - before, before + lengths + behind + SIZE

    def picture(self, index: int, record: bytes) -> bytes | None:
        """The picture in a record, which ends with its checksum; None if the content has another one."""
        content, checksum = record[:-SIZE], record[-SIZE:]
        if masked(content).to_bytes(SIZE, "little") != checksum:
            return None
        return content[self._before[index] : len(content) - self._behind[index]]
