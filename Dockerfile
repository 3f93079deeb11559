# The app for several people, see docs/SERVER.md. The environment is made as .ci/run makes it.
FROM python:3.11-slim

RUN useradd --uid 1000 --create-home secateur && mkdir /runs /data && chown secateur /runs /data
WORKDIR /app
COPY requirements.txt requirements-server.txt ./
RUN python3 -m venv .venv \
    && .venv/bin/python -m pip install --quiet --no-cache-dir -r requirements.txt -r requirements-server.txt
COPY . .

USER secateur
ENV SECATEUR_RUNS=/runs \
    SECATEUR_DATA=/data \
    STREAMLIT_SECRETS_FILES=/run/secrets/secateur.toml \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0 \
    STREAMLIT_SERVER_HEADLESS=true \
    STREAMLIT_SERVER_ALLOWED_HOSTS=localhost
EXPOSE 8501
HEALTHCHECK --start-period=60s \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://localhost:8501/_stcore/health')"]
CMD [".venv/bin/streamlit", "run", "streamlit_app.py"]
