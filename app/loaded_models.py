"""LoadedModels: the models that serve new requests."""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import OtherModelError, UnknownModelError
from app.service import Service


@dataclass(frozen=True, eq=False)
class LoadedModels:
    """The services of all models, and the default one. A reload replaces the whole object.

    Attributes:
        services: at least one, in the order of their files.
        default: the one for requests that name no model.
    """

    services: tuple[Service, ...]
    default: Service

    def find(self, name: str | None) -> Service:
        """Return the service of the model with a name or a hash. None means the default one.

        Raises:
            OtherModelError: if the only model is another one.
            UnknownModelError: if there are several models, and none is the right one.
        """
        if name is None:
            return self.default
        for attribute in ("name", "hash"):
            for service in self.services:
                if getattr(service.model, attribute) == name:
                    return service
        raise self._not_found(name)

    def _not_found(self, name: str) -> OtherModelError | UnknownModelError:
        if len(self.services) == 1:
            model = self.default.model
            return OtherModelError(
                f"model: the loaded model is {model.name} with hash {model.hash}, not {name!r}"
            )
        names = ", ".join(service.model.name for service in self.services)
        return UnknownModelError(
            f"model: no model has the name or the hash {name!r}; GET /models lists them: {names}"
        )
