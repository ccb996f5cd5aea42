"""What is done with a data set as a whole: it is checked, or written in another form."""
