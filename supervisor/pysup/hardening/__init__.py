"""What isolation comes to: a trial of a level apart from all clients, and systemd's score of an app's units."""
