"""What an edit did, as numbers: one family a file. Values come for each image, intervals later."""
