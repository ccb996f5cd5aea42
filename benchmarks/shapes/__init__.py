"""A folder of coloured shapes as JPEG files, to train on and to measure with: python -m benchmarks.shapes DIR.

Ten classes, five forms in warm and in cold colours: DIR/train/cold_disc/10.jpg, DIR/test/warm_cross/1000000009.jpg, …
Size, place, angle, light and noise vary, and a stripe of the other family's colour lies behind each form, so that
neither form nor colour alone tells the class. The same numbers always give the same pictures.
"""
