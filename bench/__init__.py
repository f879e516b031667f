"""What a delivery costs: our server and its neighbours under the same load, side by side."""
