"""What the sections of a report are written with: elements, charts, numbers and the style sheet."""
