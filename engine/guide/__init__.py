"""The built-in model. `training` makes it and is not part of the wheel."""
