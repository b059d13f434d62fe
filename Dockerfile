# Serves the page on a CPU, as a non-root user:
#   docker build -t adaedl . && docker run --rm -p 7860:7860 -v adaedl-cache:/srv/host/.cache adaedl
FROM python:3.11-slim

RUN useradd --create-home --home-dir /srv/host --uid 1000 host
WORKDIR /srv/host/app
COPY requirements.txt .
# PyTorch's own index has a CPU-only build, a tenth of the size.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" "$(grep '^torch==' requirements.txt)" \
    && pip install --no-cache-dir -r requirements.txt
COPY --chown=host:host app.py LICENSE README.md ./
COPY --chown=host:host adaedl adaedl
COPY --chown=host:host assets assets
COPY --chown=host:host components components
RUN mkdir -p /srv/host/.cache && chown host:host /srv/host/.cache

USER host
ENV GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/srv/host/.cache/numba
EXPOSE 7860
VOLUME /srv/host/.cache
HEALTHCHECK --start-period=120s --interval=30s --timeout=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=8)"]
CMD ["python", "app.py"]
