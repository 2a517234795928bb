"""What the exchange costs and loses: codecs, learning with few bits, secure aggregation, bytes beside Flower's."""
