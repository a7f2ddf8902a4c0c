"""The one table of errors: a stable code, an HTTP status, and a sentence with the value and the way out.

PithError
├── raised by the API        → the response, as application/problem+json (RFC 9457)
├── raised by the engine     → Job.error, written by the worker
└── raised by the client     → from a response that carried a problem
"""

from typing import NamedTuple

from pydantic import Field

from pith.base import Frozen


class Row(NamedTuple):
    """``sentence`` is a format string; its fields are the values that the raiser must give."""

    status: int
    title: str
    sentence: str


ERRORS: dict[str, Row] = {
    # requests
    "malformed_request": Row(422, "Malformed request", "{wrong}: {summary}"),
    "gone": Row(410, "Deleted", "The {what} {id!r} was deleted on {at}: {why}."),
    "key_required": Row(
        401,
        "Key required",
        "This service wants a key; send one as `Authorization: Bearer KEY` (the client: PITH_API_KEY).",
    ),
    "key_refused": Row(
        401, "Key refused", "The key does not open this service: {reason}. Ask its operator for another."
    ),
    "scope_required": Row(
        403, "Not allowed", "The key {name!r} may not do this: it needs the scope {scope}, and has {has}."
    ),
    "scope_not_yours": Row(
        403,
        "Not yours to give",
        "A key with the scope {scope} can only be made by one that has it; {name!r} has {has}.",
    ),
    "rate_limited": Row(
        429, "Too many requests", "This key may make {most} requests a minute; go on in {seconds} seconds."
    ),
    "webhook_disabled": Row(
        409,
        "Webhook disabled",
        "The webhook {id!r} is disabled, by somebody or by an answer 410; enable it first.",
    ),
    "quota_exceeded": Row(
        403,
        "Quota exceeded",
        "The project may have {most} {what} and would have {used} with this; {way_out}, or have the quota raised.",
    ),
    "project_not_empty": Row(
        409, "Project not empty", "The project {id!r} still holds {held}; delete them first, jobs before their models."
    ),
    "job_not_ended": Row(
        409, "Job has not ended", "Job {id!r} is {status}; cancel it first, or let it come to its end."
    ),
    "not_found": Row(404, "Not found", "There is no {what} {id!r}; list what there is at {listing}."),
    "route_not_found": Row(404, "No such route", "{method} {path} is not a route; see /docs for those that are."),
    "method_not_allowed": Row(405, "Method not allowed", "{path} does not take {method}; it takes {allowed}."),
    "host_not_allowed": Row(
        400, "Host not allowed", "The Host {host!r} is not served here; set PITH_ALLOWED_HOSTS to serve it."
    ),
    "media_type_not_supported": Row(
        415, "Media type not supported", "{path} takes {wanted}, and the request says {given}; change that header."
    ),
    "origin_not_allowed": Row(
        403,
        "Origin not allowed",
        "A page at {origin!r} may not write here; call the API from its own address or without a browser.",
    ),
    "precondition_failed": Row(
        412, "Changed meanwhile", "If-Match is {given}, and the ETag is {etag} by now; look at it again, then repeat."
    ),
    "bad_cursor": Row(400, "Bad cursor", "{cursor!r} is no cursor of this list; use next_cursor as it was given."),
    "recipe_order": Row(
        400,
        "Impossible order",
        "recipe[{index}] ({kind}) cannot follow recipe[{earlier_index}] ({earlier}), which finishes the model; "
        "{way_out}.",
    ),
    "dataset_required": Row(
        400, "Dataset required", 'recipe[{index}] ({kind}) needs {needs}; upload a dataset and name it in "dataset".'
    ),
    "dataset_required_by_constraint": Row(
        400,
        "Dataset required",
        'max_metric_drop {limit} can only be checked on data; upload a dataset and name it in "dataset".',
    ),
    "in_use": Row(
        409, "In use", "The {what} {id!r} is used by {jobs}, which has not ended; cancel that job first or wait for it."
    ),
    "not_ready": Row(409, "Not ready", "The {what} {id!r} is {status}, so it has no {wanted}{why}"),
    "check_under_way": Row(
        409, "Check under way", "The {what} {id!r} is being checked by {job}; wait for that, or cancel it first."
    ),
    "check_cancelled": Row(
        409,
        "Check cancelled",
        "The check of the {what} {id!r} was cancelled; POST {listing}/{id}/check checks it again.",
    ),
    "input_rejected": Row(
        409, "Input rejected", "The {what} {id!r}, which the job names, was rejected: {reason} Name another one."
    ),
    "idempotency_key_reused": Row(
        409,
        "Key used before",
        "The Idempotency-Key {key!r} was used for another request, which made {id!r}; take a new key for this one.",
    ),
    "not_pausable": Row(
        409, "Job cannot be paused", "Job {id!r} cannot be paused: {reason}; let it go on, or cancel it."
    ),
    "not_paused": Row(409, "Job is not paused", "Job {id!r} is {status}, and only a paused one can be resumed."),
    "check_not_repeatable": Row(
        409, "A check of an upload", "The job {id!r} is the check of an upload; POST {checked}/check checks it again."
    ),
    "step_out_of_range": Row(
        400,
        "No such step",
        "from_step is {from_step}, and the recipe of the job {id!r} has {count} steps; name 1 to {count}.",
    ),
    "step_not_kept": Row(
        409, "Step not kept", "The job {id!r} has not kept what recipe[{step}] has left: {reason}; {way_out}."
    ),
    "fork_weighed_otherwise": Row(
        400,
        "Weighed otherwise",
        "The steps of the job {id!r} were weighed as {before}, and the fork would be weighed as {now}; put {before} "
        "first in outputs, or send the whole recipe as a job.",
    ),
    "job_ended": Row(409, "Job has ended", "The job {id!r} is already {status}; nothing more can be done with it."),
    "report_not_ready": Row(
        409, "No report yet", "The job {id!r} is {status}; a report exists once a job has succeeded{why}"
    ),
    "result_not_model": Row(
        409, "No such result", "The job {id!r} is {status} and has no {wanted} that could be a model; {way_out}."
    ),
    "report_unreadable": Row(
        406,
        "Report of another version",
        "The report of {id!r} was written by another version of Pith, so it cannot be given as Markdown; ask for "
        "application/json or text/html, which are as they were written.",
    ),
    # uploads and downloads
    "upload_incomplete": Row(
        400, "Upload incomplete", "{received} of {expected} bytes arrived, and nothing was stored; send the file again."
    ),
    "multipart_malformed": Row(
        400,
        "Malformed form",
        "The multipart body is wrong: {reason}; send one part named 'file', with a file name, and nothing after it.",
    ),
    "download_damaged": Row(
        502,
        "Download damaged",
        "{name} arrived as {actual}, not {expected}; nothing was kept, download it again.",
    ),
    "file_unreadable": Row(400, "File unreadable", "The file {path!r} cannot be used: {reason}; name another one."),
    "upload_interrupted": Row(
        400, "Upload interrupted", "{received} bytes arrived and are kept, then {reason}; go on where the upload is."
    ),
    "upload_offset_mismatch": Row(
        409, "Wrong offset", "The upload has {offset} bytes, and these would begin at {given}; go on at {offset}."
    ),
    "upload_length_changed": Row(
        409,
        "Length changed",
        "The upload was said to have {before} bytes, and now {now}; go on at Upload-Offset, or begin another upload.",
    ),
    "upload_too_long": Row(
        400,
        "Upload too long",
        "The upload was said to have {length} bytes, and these are more; go on at Upload-Offset.",
    ),
    "upload_complete": Row(
        409,
        "Upload complete",
        "All bytes of the upload {id!r} are there, it has become {became}; begin another upload.",
    ),
    "upload_busy": Row(
        423, "Upload busy", "Another request writes to the upload {id!r} and does not end; try again in a few seconds."
    ),
    "upload_checksum_mismatch": Row(
        460, "Checksum mismatch", "The {algorithm} of these bytes is {actual}, not {expected}; they were not kept."
    ),
    "tus_version": Row(412, "Another tus version", "Tus-Resumable is {given!r}, and only 1.0.0 is spoken here."),
    "upload_empty": Row(
        400,
        "Upload empty",
        "There are no bytes: the file is empty, or it did not come as the body or as the part 'file'.",
    ),
    "upload_too_large": Row(
        413,
        "Upload too large",
        "The file is larger than {limit} bytes; send a smaller one, or have the limit raised "
        "(PITH_MAX_UPLOAD_BYTES, or the project's quota).",
    ),
    "body_too_large": Row(413, "Body too large", "A JSON body may have {limit} bytes at most."),
    "digest_mismatch": Row(
        400,
        "Digest mismatch",
        "The bytes have the digest {actual}, not {expected}; nothing was stored, send them again.",
    ),
    "address_refused": Row(
        400,
        "Address refused",
        "No request is sent to {host}: {reason}; name another address, or have the operator allow this one.",
    ),
    "import_refused": Row(400, "Import refused", "{source} is not imported: {reason}; {way_out}."),
    "import_failed": Row(
        502,
        "Import failed",
        "{host} did not hand the file out: {reason}; try again with POST {again}, or upload the file.",
    ),
    "storage_full": Row(
        507, "Storage full", "{needed} bytes did not fit on the disk; free some space, then send them again."
    ),
    "irregular_file": Row(
        400, "Not a plain file", "{name} is a link, a pipe, a device or a folder; only plain files are stored."
    ),
    "range_not_satisfiable": Row(416, "Range not satisfiable", "{range!r} does not lie in the {size} bytes there are."),
    "unavailable": Row(503, "Unavailable", "{what} does not answer; try again in a few seconds."),
    "unreachable": Row(
        503,
        "No answer",
        "{url} gives no answer ({reason}); start the service with `pith up`, or set PITH_URL to where it runs.",
    ),
    "not_pith": Row(
        502,
        "Not Pith",
        "{url} answered {status} with {found}, which is not what Pith says; set PITH_URL to a Pith service.",
    ),
    "server_not_installed": Row(
        501,
        "Server not installed",
        "Only the client is installed (there is no {missing}); in Pith's own folder: pip install '.[embedded]'.",
    ),
    "torch_unusable": Row(
        501,
        "PyTorch missing",
        "Exporting runs in the environment of your own model, and here {found}; pip install 'torch>=2.11' here, or run "
        "it where the model runs.",
    ),
    "unpack_unusable": Row(
        501,
        "Not installed",
        "Unpacking needs numpy and constriction, and here there is no {missing}; pip install 'pith[unpack]'.",
    ),
    "requirement_refused": Row(400, "Requirement refused", "The requirement {text!r} {reason}; {way_out}."),
    "registry_unusable": Row(
        501,
        "Not installed",
        "MLflow's client is needed, and here there is no {missing}; pip install 'pith[mlflow]'.",
    ),
    "registry_failed": Row(
        502,
        "MLflow refused",
        "MLflow did not do it, with {what}: {reason}; see MLFLOW_TRACKING_URI and its credentials, or mend it there.",
    ),
    "registry_needs_onnx": Row(
        400,
        "Nothing to register",
        "The job {id!r} has no model.onnx, which a registered model is made of, but {found}; run it again with onnx "
        "among its outputs, or push it without --register.",
    ),
    "registry_model_refused": Row(
        400,
        "No model that can be sent",
        "{uri} holds no .pt2, .onnx or .safetensors file of which there is one, but {found}; log the model as ONNX or "
        "with torch.export.",
    ),
    "packed_malformed": Row(400, "No packed model", "The file is damaged, or no model.pith: {reason}; fetch it again."),
    "export_refused": Row(400, "Not exported", "The model was not exported: {reason}; {way_out}."),
    "setting_refused": Row(500, "Setting refused", "{name} is {value!r}, which is refused: {reason}."),
    "queue_missing": Row(
        503,
        "No queue",
        "PITH_REDIS_URL is not set, so no job can be sent; set it, or start the service with `pith up`.",
    ),
    "sqlite_too_old": Row(
        500,
        "SQLite is too old",
        "This Python carries SQLite {found}; 3.35 is needed, or PITH_DATABASE_URL=postgresql://…",
    ),
    "internal": Row(
        500, "Internal error", "Something broke here, not in your request; the log has it under {reference}."
    ),
    # models
    "model_not_an_archive": Row(
        400,
        "Not a .pt2 file",
        "The model is not a zip archive (it starts with {start}); send what torch.export.save wrote.",
    ),
    "model_truncated": Row(
        400, "Truncated model", "The model's file ends too early or is damaged ({reason}); upload it again."
    ),
    "model_pickled": Row(
        400,
        "Pickled model",
        "The model is a pickle ({found}), which could run code here and is never opened; export it, with Pith "
        'installed: from pith.export import export; export(model, example, "model.pt2"); or with torch alone: '
        "torch.export.save(torch.export.export(model.eval(), (example,), "
        'dynamic_shapes=({{0: torch.export.Dim("batch")}},)), "model.pt2").',
    ),
    "model_unsafe": Row(
        400, "Unsafe model", "The model holds {found}, which could run code and is never loaded; {way_out}."
    ),
    "model_too_large": Row(
        400, "Model too large", "{what} is {value}, and {limit} is the most that is opened; send a smaller model."
    ),
    "model_unsupported": Row(400, "Unsupported model", "The model uses {found}, which Pith does not take; {way_out}."),
    "model_malformed": Row(400, "Malformed model", "The model is wrong in {where}: {reason}; export it again."),
    "model_fixed_batch": Row(
        400,
        "Fixed batch size",
        "The model was exported for a batch of exactly {batch}; export it with a dynamic first dimension, with "
        "`pith export` or with "
        'dynamic_shapes=({{0: torch.export.Dim("batch")}},), which torch.export.export and torch.onnx.export take.',
    ),
    "model_format_unknown": Row(
        400, "Unknown model format", "The model is in no format that is read: {found}; {way_out}."
    ),
    "model_not_trainable": Row(
        400,
        "Model is a finished graph",
        "recipe[{index}] ({kind}) cannot work on this model, because an ONNX file can be neither trained nor reshaped "
        "(its converters lose batch norms and most trainable weights); export the source model instead, with "
        "`pith export` or torch.export.save, and send the .pt2.",
    ),
    "output_unavailable": Row(
        400,
        "Output not available",
        "outputs[{index}] is {format}, and a model that came as ONNX leaves as ONNX alone; "
        'ask for "outputs": ["onnx"].',
    ),
    "model_finished": Row(
        400,
        "Model is quantized",
        "The model holds {count} layers with quantized weights, so {kind} cannot work on it; start from the model it "
        "was made from.",
    ),
    "export_failed": Row(
        400,
        "Cannot be exported",
        "The model cannot be written as {format}, which every job needs ({reason}); replace that part of the model.",
    ),
    "head_not_found": Row(
        400,
        "No head to replace",
        "The model's head cannot be replaced ({reason}); end the model in one linear layer or convolution.",
    ),
    # weights and architectures
    "weights_unreadable": Row(
        400,
        "Unreadable weights",
        "No weights can be read from the file ({reason}); send a state dict written by torch.save or safetensors.",
    ),
    "weights_mismatch": Row(
        400, "Weights do not fit", "The weights do not fit {architecture} ({summary}, see errors); {way_out}."
    ),
    "architecture_missing": Row(
        400,
        "Architecture missing",
        "The upload holds {count} tensors and no graph, so it needs the name of its architecture; {way_out}.",
    ),
    "architecture_needless": Row(
        400,
        "Architecture not needed",
        "The upload is {found}, which brings its own graph; leave the architecture {architecture} out.",
    ),
    "architecture_unknown": Row(400, "Unknown architecture", "{name!r} is no architecture that is known; {way_out}"),
    "architecture_refused": Row(400, "Architecture refused", "{name} cannot be built ({reason}); {way_out}."),
    # archives
    "archive_unsafe": Row(
        400, "Unsafe archive", "The archive holds {found}; pack plain files and folders under plain names."
    ),
    "archive_damaged": Row(400, "Damaged archive", "The archive cannot be read ({reason}); pack it again."),
    "archive_too_large": Row(
        400, "Archive too large", "{what} is {value}, and {limit} is the most that is unpacked; send a smaller archive."
    ),
    # datasets
    "dataset_unreadable": Row(
        400, "Unreadable dataset", "The dataset cannot be read ({reason}); write the file again and upload that."
    ),
    "dataset_unsafe": Row(
        400,
        "Unsafe dataset",
        "The array {array!r} holds pickled objects, which could run code and are never loaded; save numbers only.",
    ),
    "dataset_format_unknown": Row(
        400,
        "Unknown dataset format",
        "The dataset is in no format that is read: {found}; {way_out}.",
    ),
    "dataset_empty": Row(400, "Empty dataset", "The dataset is empty ({found}); add samples and send it again."),
    "dataset_pickled": Row(
        400,
        "Pickled dataset",
        "{name} is a pickle, which could run code and is never loaded; save the data as .npz, Parquet or JSON Lines.",
    ),
    "dataset_schema_mismatch": Row(
        400, "Schema does not fit", "The schema's {field} is {value}, and {problem}; {way_out}."
    ),
    "dataset_sample_unreadable": Row(
        400, "Unreadable sample", "Sample {index} ({name}) {problem}; mend it or leave it out."
    ),
    "dataset_too_large": Row(
        400, "Dataset too large", "{what} is {value}, and {limit} is the most that is opened; send a smaller dataset."
    ),
    "dataset_mismatch": Row(400, "Dataset does not fit", "{array} {problem}; {way_out}."),
    "dataset_split_missing": Row(
        400, "Split missing", "recipe[{index}] ({kind}) needs {needs}, and the dataset has only {present}; {way_out}."
    ),
    # steps
    "technique_inapplicable": Row(400, "Technique does not apply", "recipe[{index}] ({kind}): {reason}; {way_out}."),
    "augmentation_mismatch": Row(
        400, "Augmentation does not apply", "augmentation[{index}] ({kind}) {problem}; {way_out}."
    ),
    "teacher_mismatch": Row(
        400,
        "Teacher does not fit",
        "The teacher gives {teacher} and the student {student}; both must have the same outputs.",
    ),
    "merge_mismatch": Row(
        400,
        "Models do not fit together",
        "{other} cannot be combined: {what} is {theirs}, and it must go with {wanted}; {way_out}.",
    ),
    "training_diverged": Row(
        400,
        "Training diverged",
        "The loss became {loss} in epoch {epoch}, batch {batch}; lower learning_rate (it was {learning_rate}).",
    ),
    "reload_failed": Row(
        500,
        "Result does not reload",
        "A fresh process was given {name} and found {problem}; the job fails rather than hand out what does not load.",
    ),
    # jobs
    "out_of_memory": Row(
        507, "Out of memory", "The job needed more than {limit}; lower batch_size, or raise PITH_JOB_MEMORY_BYTES."
    ),
    "out_of_disk": Row(
        507,
        "Out of disk",
        "The job's files became larger than {limit} bytes and it was stopped; do less, or raise PITH_JOB_DISK_BYTES.",
    ),
    "engine_died": Row(
        500, "Job process died", "The job's process ended by {cause} at {where}{hint}; send the job again."
    ),
    "engine_timeout": Row(
        500, "Job took too long", "The job was stopped after {limit} seconds; raise {setting} or do less."
    ),
    "engine_fault": Row(
        500, "Engine fault", "The engine failed with {error}; that is a defect here, please report it."
    ),
    "worker_lost": Row(
        500,
        "Worker lost",
        "{attempts} workers were lost while they had this job, and it came no further between them; look at the "
        "workers' log, then send it again.",
    ),
    "sandbox_incomplete": Row(
        500,
        "Sandbox incomplete",
        "This system lacks {missing}, and PITH_SANDBOX=require refuses to work without; set it to auto, or change "
        "what the container or the kernel allows.",
    ),
    "blob_missing": Row(
        500, "Stored bytes missing", "The bytes {digest} of {what} are gone from the storage; upload it again."
    ),
}


class FieldProblem(Frozen):
    """One wrong field of a request; ``pointer`` is its place (RFC 6901)."""

    pointer: str
    code: str
    detail: str


class Problem(Frozen):
    """An error on the wire (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; a program may branch on it.")
    errors: tuple[FieldProblem, ...] = ()
    request_id: str | None = Field(None, description="Of the request that it answers: the same stands in the log.")


class PithError(Exception):
    """An error of the table.

    Raises:
        KeyError: the code is not in the table, or a value of its sentence is missing.
    """

    def __init__(self, code: str, *, errors: tuple[FieldProblem, ...] = (), **values: object) -> None:
        row = ERRORS[code]
        self.problem = Problem(
            type=f"urn:pith:error:{code}",
            title=row.title,
            status=row.status,
            detail=row.sentence.format(**values),
            code=code,
            errors=errors,
        )
        super().__init__(f"{code}: {self.problem.detail}")

    @property
    def code(self) -> str:
        return self.problem.code

    @classmethod
    def of(cls, problem: Problem) -> "PithError":
        """The error that a problem from elsewhere stands for."""
        error = cls.__new__(cls)
        error.problem = problem
        Exception.__init__(error, f"{problem.code}: {problem.detail}")
        return error
