"""For installers that know no pyproject.toml; everything is said in setup.cfg."""

from setuptools import setup

setup()
