"""The lecture hall: viewers see the lecturer's page, controls and player as they change."""
