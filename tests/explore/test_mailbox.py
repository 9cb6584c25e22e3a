"""Laws of the mailbox: the newest view is answered, and nothing but views is passed over."""

import asyncio

import numpy as np

from rotdis.explore.mailbox import Mailbox
from rotdis.explore.protocol import Open, Sample, View


def _view(sequence):
    return View(sequence, "infer", np.eye(3), (), False)


def test_a_view_makes_earlier_ones_void_and_the_rest_stays_in_order():
    async def run():
        mailbox = Mailbox()
        for message in (_view(1), Open(5), _view(2), Sample(6), _view(3)):
            await mailbox.put(message)
        return [await mailbox.get() for _ in range(3)]

    one, two, three = asyncio.run(run())
    assert (one, two) == (Open(5), Sample(6)) and three.sequence == 3


def test_whoever_sends_too_much_waits():
    async def run():
        mailbox, put = Mailbox(), []

        async def fill():
            for index in range(20):
                await mailbox.put(Open(index))
                put.append(index)

        filling = asyncio.create_task(fill())
        for _ in range(50):
            await asyncio.sleep(0)
        waiting = len(put)
        got = [(await mailbox.get()).index for _ in range(20)]
        await filling
        return waiting, got

    waiting, got = asyncio.run(run())
    assert waiting < 10 and got == list(range(20))


def test_closed_it_says_so_to_whoever_waits():
    async def run():
        mailbox = Mailbox()
        waiting = asyncio.create_task(mailbox.get())
        await asyncio.sleep(0)
        mailbox.close()
        return await waiting

    assert asyncio.run(run()) is None
