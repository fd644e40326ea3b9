"""Serve Milvus in this process until standard input ends; run by the Python of an environment that has `milvus`.

Prints one line: the port, and the process that serves. Then, when it has stopped, the word `stopped`.
"""

import sys

from milvus import MilvusServer, MilvusServerConfig

server = MilvusServer(MilvusServerConfig(), wait_for_started=True)
server.set_base_dir(sys.argv[1])
server.start()
print(server.listen_port, server.server_proc.pid, flush=True)
sys.stdin.read()
server.stop()
print("stopped", flush=True)
