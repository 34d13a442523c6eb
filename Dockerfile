# DPM Explorer and, in the same image, the nodes of a Ray cluster: docs/cluster.md says how they are started.
FROM python:3.11-slim-bookworm

RUN useradd --create-home --uid 1000 dpm
WORKDIR /app
COPY requirements.txt requirements-cluster.txt ./
# the processor build of PyTorch; for GPUs: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --extra-index-url "${TORCH_INDEX}" -r requirements.txt -r requirements-cluster.txt
COPY --chown=dpm . .

# every node finds the library here, wherever Ray starts its workers
ENV PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0 \
    DPM_RUNS=/data/runs \
    DPM_CHECKPOINTS=/data/checkpoints \
    DPM_DATA=/data/sets
RUN mkdir /data && chown dpm /data
VOLUME /data
USER 1000
EXPOSE 8501
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=3)"]
CMD ["streamlit", "run", "app.py", "--server.address", "0.0.0.0"]
