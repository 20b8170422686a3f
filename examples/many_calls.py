"""An agent with 32 calls in flight on one channel: a month of rates in one go.

Terminal 1: aisa devnet up --seller
Terminal 2: python examples/many_calls.py [SELLER_URL]
"""

import asyncio
import sys
from datetime import date, timedelta

from aisa.sdk import AsyncAgent

seller = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8402"


async def main() -> None:
    days = [date(2025, 3, 1) + timedelta(days=n) for n in range(31)]
    async with AsyncAgent() as agent, asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(agent.get(f"{seller}/rates/USD/{day}")) for day in days]
    rates = [call.result().json()["rate"] for call in calls]
    print(f"{len(rates)} rates from {min(rates)} to {max(rates)} USD for one euro")
    print(f"paid {agent.spent}")


asyncio.run(main())
