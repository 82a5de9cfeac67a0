"""What a trained model looks at: heat maps and shortcuts."""
