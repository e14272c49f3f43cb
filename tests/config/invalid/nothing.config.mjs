// nothing is exported
