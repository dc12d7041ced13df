"""The node's API (OpenAPI: GET /v1/openapi.json) from Python: one request a call, problems (RFC 9457) as exceptions."""

import copy
import http.client
import json
import os
import socket
import ssl
import time
import urllib.parse

# Seconds between tries while the node does not answer.
PAUSE = 0.2


class Problem(Exception):
    """The node said no. `kind` is the last word of its `type`: invalid, configuration, absent, taken, conflict, failed, host, node."""

    def __init__(self, status, body):
        self.status = status
        self.kind = body.get('type', '').rpartition(':')[2]
        self.detail = body.get('detail') or f'HTTP status {status}'
        self.hint = body.get('hint')
        super().__init__(self.detail if self.hint is None else f'{self.detail} ({self.hint})')


class Unreachable(Exception):
    """Nobody answers, or not as a node does."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__('node', timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Client:
    """A node. Calls may be made from any thread: each has a connection of its own, which on a Unix socket costs nothing."""

    def __init__(self, node, token=None, ca_file=None, timeout=60, repeat_s=0):
        self.node, self.timeout, self.repeat_s = node, timeout, repeat_s
        self.headers = {'Authorization': f'Bearer {token}'} if token else {}
        self.url = urllib.parse.urlsplit(node)
        if self.url.scheme not in ('unix', 'http', 'https') or not (self.url.path if self.url.scheme == 'unix' else self.url.hostname):
            raise ValueError(f'[microvisor] node: {node!r} is neither unix:///PATH nor https://HOST:PORT')
        self.tls = ssl.create_default_context(cafile=ca_file) if self.url.scheme == 'https' else None

    @classmethod
    def configured(cls, conf):
        """As the section [microvisor] says."""
        own = conf.microvisor
        return cls(own.node, own.token, own.ca_file, own.timeout)

    def repeating(self, seconds):
        """The same node, with requests repeated for so many seconds until there is an answer. All take no longer than one may."""
        again = copy.copy(self)
        again.repeat_s = seconds
        return again

    def _connection(self, timeout):
        if self.url.scheme == 'unix':
            return _UnixConnection(self.url.path, timeout)
        if self.tls is not None:
            return http.client.HTTPSConnection(self.url.hostname, self.url.port, timeout=timeout, context=self.tls)
        return http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=timeout)

    def _send(self, connection, method, path, body, headers):
        try:
            connection.request(method, path, body, {**self.headers, **headers})
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as e:
            raise Unreachable(f'{self.node}: {e}') from e

    def call(self, method, path, body=None, request_id=None, query=None, key=None):
        """The answer's value: from JSON, or a text. `body` is a value for JSON, or bytes or an open file as they are. `key` has
        the node take the request once, however often it is sent."""
        is_raw = isinstance(body, bytes) or hasattr(body, 'read')
        headers = {'Content-Type': 'application/octet-stream' if is_raw else 'application/json'}
        if hasattr(body, 'read'):
            headers['Content-Length'] = str(os.fstat(body.fileno()).st_size)
        if request_id:
            headers['X-Request-Id'] = request_id
        if key:
            headers['Idempotency-Key'] = key
        if query:
            path = f'{path}?{urllib.parse.urlencode(query)}'
        data = body if body is None or is_raw else json.dumps(body).encode()
        response, text = self._exchange(method, path, data, headers)
        is_json = 'json' in response.headers.get('Content-Type', '')
        try:
            value = json.loads(text) if is_json else text.decode('utf-8', 'replace')
        except ValueError as e:
            raise Unreachable(f'{self.node}: an answer that is no JSON: {e}') from e
        if response.status >= 300:
            raise Problem(response.status, value if isinstance(value, dict) else {})
        return value

    def _exchange(self, method, path, data, headers):
        """An answer with its body, of the first try that has one."""
        begun = time.monotonic()
        while True:
            connection = self._connection(max(self.timeout - (time.monotonic() - begun), 1))
            try:
                response = self._send(connection, method, path, data, headers)
                return response, response.read()
            except (Unreachable, OSError, http.client.HTTPException) as e:
                if time.monotonic() - begun > self.repeat_s:
                    raise e if isinstance(e, Unreachable) else Unreachable(f'{self.node}: {e}') from e
            finally:
                connection.close()
            time.sleep(PAUSE)
            if hasattr(data, 'seek'):
                data.seek(0)

    def get(self, path, **query):
        return self.call('GET', path, query=query)

    def post(self, path, body=None, request_id=None, key=None, **query):
        return self.call('POST', path, body, request_id, query, key)

    def put(self, path, body, request_id=None):
        return self.call('PUT', path, body, request_id)

    def delete(self, path, **query):
        return self.call('DELETE', path, query=query)

    def instances(self):
        """All instances, page by page."""
        after = ''
        while True:
            page = self.get('/v1/instances', after=after, limit=1000)
            yield from page['instances']
            if (after := page.get('next')) is None:
                return

    def watch(self, silence):
        """Events as they happen, for as long as the node lives. None comes first, once it listens, and the node says something
        at least every 15 s; after `silence` seconds it counts as gone."""
        connection = self._connection(silence)
        try:
            response = self._send(connection, 'GET', '/v1/events/watch', None, {})
            if response.status != 200:
                raise Unreachable(f'{self.node}: HTTP status {response.status}')
            yield None
            while line := response.readline():
                if line.startswith(b'data:'):
                    yield json.loads(line[5:])
        except (OSError, http.client.HTTPException, ValueError) as e:
            raise Unreachable(f'{self.node}: {e}') from e
        finally:
            connection.close()
