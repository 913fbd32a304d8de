"""Methods that train on stored or generated samples of the past."""
