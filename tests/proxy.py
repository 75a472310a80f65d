"""A proxy in front of Redis that can do what networks do."""
import socket
import threading


class Proxy:
    """A Unix socket in front of Redis' own."""

    def __init__(self, path, target):
        self.url, self.target = f"unix://{path}", str(target)
        self.pairs, self.dark = [], set()
        self.held_word, self.is_holding, self.released = None, threading.Event(), threading.Event()
        self.lost_word, self.loses_call, self.is_lost, self.losing = None, False, threading.Event(), set()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
            self.pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self.forward, args=(source, sink), daemon=True).start()

    def forward(self, source, sink):
        try:
            while data := source.recv(65536):
                if self.held_word and self.held_word in data:
                    self.is_holding.set()
                    self.released.wait()
                if self.lost_word and self.lost_word in data:
                    self.lost_word = None
                    self.losing.add(source if self.loses_call else sink)
                if source in self.losing:
                    self.is_lost.set()
                    break
                if source not in self.dark:
                    sink.sendall(data)
            for end in {source, sink} if source in self.losing else {sink}:
                end.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # closed by the other thread, or at the end of the test

    def go_dark(self):
        """What is connected now stays so, and nothing comes through any more: a firewall forgot about it."""
        self.dark.update(end for pair in self.pairs for end in pair)

    def hold(self, word):
        """A piece with this word, and what follows it on its connection, waits until released is set."""
        self.held_word = word

    def lose_answer(self, word):
        """The next piece with this word arrives; its answer does not, and the connection ends."""
        self.lost_word, self.loses_call = word, False

    def lose_call(self, word):
        """The next piece with this word does not arrive, and the connection ends."""
        self.lost_word, self.loses_call = word, True

    def close(self):
        self.released.set()
        self.listener.close()
        for pair in self.pairs:
            for end in pair:
                end.close()
