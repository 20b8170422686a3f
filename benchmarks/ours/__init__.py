"""Our side of a comparison: seller, agent and hub as processes of their own."""
