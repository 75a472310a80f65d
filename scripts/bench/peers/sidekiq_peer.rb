# Sidekiq, for scripts/bench/queue_bench.py:  ruby sidekiq_peer.rb MODE SOCKET JOBS
# single: one push in flight; bulk: push_bulk; add: the sending end of the latency. Workers are started by
# `sidekiq -r` with this file: MODE drain or work then comes from the environment. Prints one JSON object.
require 'json'
require 'sidekiq'

MODE = ENV['BENCH_MODE'] || ARGV[0]
SOCKET = ENV['BENCH_SOCKET'] || ARGV[1]
JOBS = (ENV['BENCH_JOBS'] || ARGV[2]).to_i
CHUNK = 1000
PAUSE_S = 0.005

def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

# About as many bytes as a spec of ours.
def arguments(i) = ["train-#{i}", ['python3', 'train.py', '--seed', i.to_s, '--data', 'abcdefghijklmnop' * 3]]

Redis.silence_deprecations = true # else a line on stderr for every command, which costs more than the command
Sidekiq.logger.level = Logger::ERROR
Sidekiq.configure_client { |c| c.redis = { url: "unix://#{SOCKET}", driver: :hiredis, size: 1 } }
Sidekiq.configure_server { |c| c.redis = { url: "unix://#{SOCKET}", driver: :hiredis } }

class Noop
  include Sidekiq::Worker
  sidekiq_options retry: false

  def perform(*); end
end

class Stamp
  include Sidekiq::Worker
  sidekiq_options retry: false
  SPANS = []

  def perform(*arguments)
    SPANS << (now - arguments.last) * 1e6
    return if SPANS.size < JOBS

    puts JSON.generate(spans_us: SPANS)
    $stdout.flush
    Process.kill(:KILL, Process.pid) # what there was to measure is over
  end
end

def rate
  start = now
  yield
  puts JSON.generate(rate: JOBS / (now - start))
end

case MODE
when 'single'
  rate { JOBS.times { |i| Noop.perform_async(*arguments(i)) } }
when 'bulk'
  rate do
    0.step(JOBS - 1, CHUNK) do |i|
      chunk = (i...[i + CHUNK, JOBS].min).map { |k| arguments(k) }
      Sidekiq::Client.push_bulk('class' => Noop, 'args' => chunk)
    end
  end
when 'add'
  JOBS.times do |i|
    Stamp.perform_async(*arguments(i), now)
    sleep PAUSE_S
  end
  puts '{}'
when 'work'
  Sidekiq.configure_server { |c| c.on(:startup) { File.write(ENV['BENCH_READY'], '') } }
end
