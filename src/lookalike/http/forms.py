"""A form with files to their bytes: kept in memory, whole or refused."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from lookalike.config import ServeSettings
from lookalike.errors import InputError
from lookalike.http.contents import names_of, require_room
from lookalike.http.validation import MAX_NAME

FILE_FIELDS = ("image", "file")
"""Names of a form's fields that are taken for pictures, with or without "[]", several times each."""

MAX_FORM_FIELDS = 8
"""A form says little else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a form says.

    Attributes:
        files: The bytes of each picture; an error for a field of text in the place of a file.
        names: What each is called in errors: "images[3]"; empty if it is the only one.
        file_names: What the client calls each file, which may be nothing.
        fields: The other fields.
    """

    files: tuple[bytes | InputError, ...]
    names: tuple[str, ...]
    file_names: tuple[str, ...]
    fields: Mapping[str, str]


async def read_form(request: Request, settings: ServeSettings, *, fields: Sequence[str], together: str) -> Form:
    """The form in the body of a request.

    Args:
        request: The request.
        settings: Its limits.
        fields: What it may have beside its files.
        together: What its pictures are called together, in errors.

    Raises:
        InputError: It cannot be read, has no picture, or a field that is not known.
        TooLarge: It has too many pictures.
    """
    form = await _parsed(request, settings)
    try:
        files = _files(form, fields)
        require_room(len(files), settings.max_batch_items, name=together)
        names = names_of(files, together if len(files) > 1 else "")
        return Form(
            files=tuple([await _uploaded(file, item=name) for file, name in zip(files, names, strict=True)]),
            names=names,
            file_names=tuple("" if isinstance(file, str) else file.filename or "" for file in files),
            fields={name: str(form[name]) for name in fields if name in form},
        )
    finally:
        await form.close()


def _files(form: FormData, fields: Sequence[str]) -> list[UploadFile | str]:
    """A form's pictures; whatever else it has must be among these fields."""
    files = []
    for name, value in form.multi_items():
        if name.removesuffix("[]") in FILE_FIELDS:
            files.append(value)
        elif name not in fields:
            also = f" and {', '.join(map(repr, fields))}" if fields else " alone, and all else in the query string"
            raise InputError(
                f"is not known in this form. It takes files named 'image'{also}: correct the name, or leave it out.",
                item=name[:MAX_NAME],
            )
    if not files:
        raise InputError("The form has no picture: send it as the file 'image'.")
    return files


class _WholeForm(MultiPartParser):
    """Keeps files in memory, where the body's size is limited, and not on a disk that may be full."""

    spool_max_size = 0  # no limit
    is_whole = False

    def on_end(self) -> None:
        self.is_whole = True


async def _parsed(request: Request, settings: ServeSettings) -> FormData:
    async def stream() -> AsyncGenerator[bytes, None]:
        async for chunk in request.stream():
            yield chunk
        # Starlette calls a form that ends too early complete, without its last files.
        if not parser.is_whole:
            raise MultiPartException("It is cut off: its last boundary is missing.")

    _require_utf8(request.headers.get("content-type", ""))
    parser = _WholeForm(
        request.headers,
        stream(),
        max_files=settings.max_batch_items + 1,  # more are counted by the same rule as in other bodies
        max_fields=MAX_FORM_FIELDS,
    )
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise InputError(f"The form cannot be read. {error.message}") from error


def _require_utf8(content_type: str) -> None:
    """Raise InputError for another encoding: some of Python's take minutes for a megabyte, or fail by other errors."""
    charset = parse_options_header(content_type)[1].get(b"charset", b"utf-8")
    if charset.lower() not in (b"utf-8", b"utf8"):
        raise InputError("The texts of a form are in UTF-8: leave 'charset' out of its Content-Type.")


async def _uploaded(file: UploadFile | str, *, item: str) -> bytes | InputError:
    if isinstance(file, str):
        return InputError("is a field of text, not a file with a name (curl: -F image=@photo.jpg).", item=item)
    return await file.read()
