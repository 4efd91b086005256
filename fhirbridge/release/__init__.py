"""What a registry is let see: data-use agreements, and the view by which a stored resource becomes a released one."""
