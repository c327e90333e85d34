"""Choice: what a request sets about the characters to draw and the values to return."""
