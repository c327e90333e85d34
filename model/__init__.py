"""The model: its network, checkpoint and decoder. Imports neither `training` nor `app`."""
