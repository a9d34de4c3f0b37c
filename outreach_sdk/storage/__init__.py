"""The database, the only truth: models, migrations, claims, transitions, bulk enrolment."""
