"""Makes thumbnails one after another, whatever becomes of the process that does it."""

from __future__ import annotations

from lookalike.errors import NotReady
from lookalike.http.decoder import Decoder, DecoderLost, NoDecoder
from lookalike.policy import ImagePolicy

N_TRIES = 2
"""A picture is to blame when so many processes were lost with it: one may have been killed from outside."""


class Maker:
    """A place for one decoding process, started when it is needed and replaced when a picture ends it or holds it up.

    For one thread, but for `stop`.

    Args:
        policy: What pictures are let in.
        stall_s: How long one picture may take.
    """

    def __init__(self, policy: ImagePolicy, *, stall_s: float) -> None:
        self._policy = policy
        self._stall_s = stall_s
        self._decoder: Decoder | None = None
        self._stopped = False

    def make(self, data: bytes, side_px: int) -> tuple[bytes, str]:
        """The thumbnail of a picture, or "" and why there is none.

        Raises:
            DecoderLost: The picture is to blame for it.
            NotReady: No process could be started, or this was stopped.
        """
        for n_left in reversed(range(N_TRIES)):
            decoder = self._ready()
            try:
                return decoder.ask(data, side_px, timeout_s=self._stall_s)
            except DecoderLost as error:
                self.end()
                if self._stopped:
                    break
                if error.late or not n_left:
                    raise
        raise NotReady("The service is being stopped.")

    def stop(self) -> None:
        """Give up what is being made, and make nothing more. Any thread may call this."""
        self._stopped = True
        decoder = self._decoder
        if decoder is not None:
            decoder.kill()

    def end(self) -> None:
        """End the process, if there is one."""
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            decoder.end()

    def _ready(self) -> Decoder:
        if self._decoder is None or not self._decoder.is_usable:
            self.end()
            try:
                self._decoder = Decoder(self._policy)
            except NoDecoder as error:
                raise NotReady(f"No process can be started to decode a picture ({error}): try again later.") from error
        if self._stopped:  # while it was started: `stop` has not seen it
            self._decoder.kill()
        return self._decoder
