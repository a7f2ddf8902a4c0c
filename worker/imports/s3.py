"""An object of an S3-compatible store: an address that is signed here, and then fetched like any other."""

from typing import Any

from pith.errors import PithError
from store.settings import Settings
from worker.imports.fetch import File
from worker.settings import WorkerSettings

SIGNED_SECONDS = 6 * 3600


def file(source: str, options: WorkerSettings, settings: Settings) -> File:
    """Raises PithError ``import_refused``; also for the bucket of the blobs, in which every project has its own."""
    bucket, _, key = source.removeprefix("s3://").partition("/")
    if bucket not in options.import_buckets:
        reason = (
            f"PITH_IMPORT_BUCKETS does not name {bucket}"
            if options.import_buckets
            else "PITH_IMPORT_BUCKETS is not set"
        )
        raise PithError("import_refused", source=source, reason=reason, way_out="have the operator allow the bucket")
    if f"{settings.blob_url}/".startswith(f"s3://{bucket}/"):
        reason = "this service keeps its blobs in that bucket"
        raise PithError("import_refused", source=source, reason=reason, way_out="use another bucket")
    place = {"Bucket": bucket, "Key": key}
    return File(
        "file", str(client(settings).generate_presigned_url("get_object", Params=place, ExpiresIn=SIGNED_SECONDS))
    )


def origin(settings: Settings) -> str:
    """The store that the operator has set, with every bucket in the path."""
    return str(client(settings).meta.endpoint_url)


def client(settings: Settings) -> Any:
    """Of boto3, for signing alone. Keys that are not set are those of the environment or of the machine's role.

    Raises:
        PithError: ``import_refused`` where boto3 is not installed.
    """
    try:
        import boto3  # noqa: PLC0415 - an extra
        from botocore.config import Config  # noqa: PLC0415
    except ImportError:
        way_out = "install pith[s3] for the worker"
        raise PithError("import_refused", source="s3://", reason="boto3 is not there", way_out=way_out) from None
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=settings.s3_secret_access_key and settings.s3_secret_access_key.get_secret_value(),
        region_name=settings.s3_region or boto3.Session().region_name or "us-east-1",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
