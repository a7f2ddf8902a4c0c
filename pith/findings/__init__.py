"""What a report finds out besides its figures: where quality was lost, layer by layer, under disturbance, and why."""
