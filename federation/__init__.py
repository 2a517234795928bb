"""The agreement: what two parties must share to train together."""
