"""One reader per form of data: images and rows out of the files people have."""
