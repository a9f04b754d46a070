"""What people look at: the dashboards, what makes them, and how Grafana finds them."""
