# A VM that does nothing, first without a pool and, after a line of stdin, with one. It writes which
# processes there are; Bench.Questions.Idle looks at them from outside.

{:ok, _apps} = Application.ensure_all_started(:snakepit)
Logger.configure(level: :warning)
say = fn os_pids -> IO.puts(JSON.encode!(os_pids)) end

say.([System.pid()])
IO.read(:line)
{:ok, _pool} = Snakepit.Pool.start_link(pool_size: 2)
say.(Enum.map(Snakepit.list_workers(), &to_string(&1.os_pid)))
IO.read(:line)
