"""An agent that converts an invoice to euro with a rate that it pays $0.0001 for.

Terminal 1: aisa devnet up --seller
Terminal 2: python examples/convert_invoice.py [SELLER_URL]
"""

import sys
from decimal import Decimal

from aisa.sdk import Agent, Budget

seller = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8402"

with Agent(budget=Budget(per_call="0.001 aiUSD", per_day="1 aiUSD")) as agent:
    answer = agent.get(f"{seller}/rates/CHF/2025-06-30")
    rate = Decimal(answer.json()["rate"])
    print(f"1250.00 CHF are {Decimal('1250.00') / rate:.2f} EUR at {rate} CHF for one euro")
    print(f"paid {agent.spent} for {agent.spent.calls} call")
