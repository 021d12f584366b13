defmodule Snakepit.Doctor do
  @moduledoc false
  # What `mix snakepit.doctor` looks at. A check gives what it found; a failed one also says what
  # mends it, a command where there is one.

  alias Snakepit.{Adapter, Config}
  alias Snakepit.Doctor.{JavaScript, Python, System, Toolchain, Worker}

  @type result :: {:ok, String.t()} | {:error, problem :: String.t(), mend :: String.t()}
  @type check :: {name :: String.t(), (-> result())}

  @doc """
  The checks for the pools of these options, in the order in which they make sense: what one
  needs comes before it.
  """
  @spec checks([[Config.option()]]) :: [check()]
  def checks(pools) do
    case configs(pools) do
      {:ok, configs} ->
        [{"Configuration", fn -> {:ok, configured(pools)} end}] ++ checks_for(configs)

      {:error, message} ->
        [{"Configuration", fn -> {:error, message, "correct it in config/"} end}] ++
          checks_for([Config.new!([])])
    end
  end

  defp checks_for([first | _] = configs) do
    programs = Enum.uniq_by(configs, &{&1.adapter, elem(Config.runtime(&1), 1).executable})
    own = Enum.filter(programs, &Adapter.own_worker?(&1.adapter))
    {pythons, nodes} = Enum.split_with(own, &match?({:python, _}, Config.runtime(&1)))

    [
      {"Elixir", fn -> Toolchain.elixir(Elixir.System.version()) end},
      {"Erlang/OTP", fn -> Toolchain.otp(Elixir.System.otp_release()) end},
      {"Rust", fn -> Toolchain.cargo("cargo") end},
      {"NIF", &Toolchain.nif/0}
    ] ++
      Enum.map(pythons, &{"Python", fn -> Python.interpreter(&1) end}) ++
      Enum.map(pythons, &{"snakepit_bridge", fn -> Python.bridge(&1) end}) ++
      Enum.map(nodes, &{"Node.js", fn -> JavaScript.node(&1) end}) ++
      Enum.map(nodes, &{"snakepit-bridge", fn -> JavaScript.bridge(&1) end}) ++
      [{"Socket directory", fn -> System.socket_directory(first) end}] ++
      for(%{base_port: port} = config when port != nil <- configs, do: ports(config)) ++
      [
        {"Open files", fn -> System.open_files(configs) end},
        {"Processes", fn -> System.processes(configs) end}
      ] ++ Enum.map(programs, &{"A worker", fn -> Worker.check(&1) end})
  end

  defp ports(config), do: {"Ports of #{inspect(config.name)}", fn -> System.ports(config) end}

  # Without a configured pool the defaults are looked at.
  defp configs([]), do: configs([[]])

  defp configs(pools) do
    {:ok, Enum.map(pools, &Config.new!/1)}
  rescue
    error in ArgumentError -> {:error, Exception.message(error)}
  end

  defp configured([]), do: "no pool in the application environment, so the defaults are checked"
  defp configured([_one]), do: "1 pool in the application environment"
  defp configured(pools), do: "#{length(pools)} pools in the application environment"
end
