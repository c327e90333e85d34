"""What a character model is: shared by training and serving, importing neither."""
