"""What did it cost? Accuracy, arithmetic and time: the impure room."""
