"""Where meetings are booked."""
