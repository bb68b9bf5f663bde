"""One module a phase, one entry function a module."""
