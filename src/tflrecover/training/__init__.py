"""What a ported or recovered model needs before it is trained."""
