"""How well models detect and recognise: on real images, with wrong images among the training, with other cameras."""
