"""Files and batches."""

from django.http import HttpResponseBase

from gateway import filing
from gateway.relay import told
from gateway.surfaces import kept
from gateway.views.base import ApiRequest, GatewayView, ReplyResponse


class FilesView(GatewayView):
    """The files of a team or key, and new ones."""

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        work = filing.listed(request.gateway, request.inbound, "file")
        return ReplyResponse(await told(request.inbound, work))

    async def post(self, request: ApiRequest) -> HttpResponseBase:
        work = filing.upload(request.gateway, request.inbound)
        return ReplyResponse(await told(request.inbound, work))


class FileView(GatewayView):
    """One file by its id."""

    async def get(self, request: ApiRequest, name: str) -> HttpResponseBase:
        work = filing.one(request.gateway, request.inbound, "file", name, kept.FILE)
        return ReplyResponse(await told(request.inbound, work))

    async def delete(self, request: ApiRequest, name: str) -> HttpResponseBase:
        return await self.get(request, name)


class ContentView(GatewayView):
    """What is in a file."""

    async def get(self, request: ApiRequest, name: str) -> HttpResponseBase:
        work = filing.one(request.gateway, request.inbound, "file", name, kept.CONTENT)
        return ReplyResponse(await told(request.inbound, work))


class BatchesView(GatewayView):
    """The batches of a team or key, and new ones."""

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        work = filing.listed(request.gateway, request.inbound, "batch")
        return ReplyResponse(await told(request.inbound, work))

    async def post(self, request: ApiRequest) -> HttpResponseBase:
        work = filing.new_batch(request.gateway, request.inbound)
        return ReplyResponse(await told(request.inbound, work))


class BatchView(GatewayView):
    """One batch by its id."""

    async def get(self, request: ApiRequest, name: str) -> HttpResponseBase:
        work = filing.one(request.gateway, request.inbound, "batch", name, kept.BATCH)
        return ReplyResponse(await told(request.inbound, work))


class CancelView(GatewayView):
    """The end of a batch."""

    async def post(self, request: ApiRequest, name: str) -> HttpResponseBase:
        work = filing.one(request.gateway, request.inbound, "batch", name, kept.CANCEL)
        return ReplyResponse(await told(request.inbound, work))
