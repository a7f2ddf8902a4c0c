# Two images of one project: `api` has no torch, `worker` has. Build with --target api or --target worker.

FROM python:3.11-slim AS base
RUN useradd --create-home --uid 10001 pith && mkdir /data && chown pith /data
WORKDIR /srv/pith
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PITH_DATA_DIR=/data
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY pith ./pith
COPY store ./store

FROM base AS api
COPY app ./app
RUN pip install --constraint constraints.txt '.[api,postgres,s3]'
USER pith
# Inside a container there is no loopback to be reached by, so it asks for keys: the first one is PITH_OPERATOR_KEY.
ENV PITH_HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", "import httpx; httpx.get('http://127.0.0.1:8000/livez').raise_for_status()"]
CMD ["python", "-m", "app.serve"]

FROM base AS worker
COPY engine ./engine
COPY worker ./worker
RUN pip install --constraint constraints.txt '.[worker,postgres,s3]'
USER pith
CMD ["python", "-m", "worker"]
