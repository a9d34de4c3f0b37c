"""Applicant tracking systems: one file a vendor, its words understood nowhere else."""
