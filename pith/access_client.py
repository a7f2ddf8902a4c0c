"""The client's keys, projects and webhooks."""

from collections.abc import Iterator

from pith.access import ApiKey, IssuedKey, NewKey, NewProject, Project, ProjectChange
from pith.listed import Listed
from pith.webhooks import Delivery, IssuedWebhook, NewWebhook, Webhook, WebhookChange
from pith.wire import Wire, decode


class Keys(Listed[ApiKey]):
    """The keys of the caller's project, or of all projects for one that operates."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, "/v1/keys", ApiKey)

    def create(self, asked: NewKey, key: str | None = None) -> IssuedKey:
        """The only time that its secret is seen."""
        return decode(IssuedKey, self._send("POST", self._path, asked, key))

    def revoke(self, id: str) -> ApiKey:
        return decode(ApiKey, self._wire.call("DELETE", self._at(id)))


class Projects(Listed[Project]):
    """All projects, for a key that operates."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, "/v1/projects", Project)

    def create(self, asked: NewProject, key: str | None = None) -> Project:
        return decode(Project, self._send("POST", self._path, asked, key))

    def change(self, id: str, change: ProjectChange) -> Project:
        return decode(Project, self._send("PATCH", self._at(id), change))

    def delete(self, id: str) -> None:
        self._wire.call("DELETE", self._at(id))


class Webhooks(Listed[Webhook]):
    """Whom the caller's project tells what has happened."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, "/v1/webhooks", Webhook)

    def create(self, asked: NewWebhook, key: str | None = None) -> IssuedWebhook:
        """The only time that its secret is seen."""
        return decode(IssuedWebhook, self._send("POST", self._path, asked, key))

    def change(self, id: str, change: WebhookChange) -> Webhook:
        return decode(Webhook, self._send("PATCH", self._at(id), change))

    def rotate(self, id: str) -> IssuedWebhook:
        """Another secret; the one before signs too for a day."""
        return decode(IssuedWebhook, self._wire.call("POST", f"{self._at(id)}/rotate"))

    def delete(self, id: str) -> None:
        self._wire.call("DELETE", self._at(id))

    def test(self, id: str) -> Delivery:
        return decode(Delivery, self._wire.call("POST", f"{self._at(id)}/test"))

    def deliveries(self, id: str) -> Iterator[Delivery]:
        """All of its messages, newest first."""
        return Listed(self._wire, f"{self._at(id)}/deliveries", Delivery).list()

    def resend(self, id: str, delivery: str) -> Delivery:
        return decode(Delivery, self._wire.call("POST", f"{self._at(id)}/deliveries/{delivery}/resend"))
