defmodule Snakepit.Endpoint.Server do
  @moduledoc false
  # Holds the HTTP server of OTP. One that is `:tolerant` is nobody's undoing: it tries again when the
  # HTTP server does not start or ends; one that is `:strict` leaves that to its supervisor.

  use GenServer

  require Logger

  alias Snakepit.Endpoint.{Handler, Headers}

  @retry_after 5_000

  # So many a client must send until its request is there. A connection serves one request: on one that
  # is kept, the HTTP server has no limit for the time between the first byte of a request and the last
  # other than this, which would end it between two requests too.
  @bytes_per_second 100
  @max_clients 64
  @max_uri 2_048
  @max_header 16_384
  @max_body 1_024

  @type manner :: :strict | :tolerant

  @spec start_link(map(), manner()) :: GenServer.on_start()
  def start_link(config, manner),
    do: GenServer.start_link(__MODULE__, {config, manner}, name: config.name)

  @spec port(atom()) :: {:ok, :inet.port_number()} | {:error, :not_running}
  def port(name) do
    GenServer.call(name, :port)
  catch
    :exit, _not_there -> {:error, :not_running}
  end

  @impl true
  def init({config, manner}) do
    # So that the end of the HTTP server is news.
    Process.flag(:trap_exit, true)
    {token, config} = Map.pop!(config, :token)
    made_up = if token == nil, do: Base.url_encode64(:crypto.strong_rand_bytes(18))

    # The token itself is kept nowhere.
    context = Map.put(config, :token_hash, Handler.hash(token || made_up))
    state = %{context: context, manner: manner, httpd: nil, port: nil}

    case listen(state) do
      {:ok, state} ->
        announce(state, made_up)
        {:ok, state}

      {:error, reason} when manner == :strict ->
        {:stop, reason}

      {:error, reason} ->
        announce_failure(state, reason, made_up)
        {:ok, try_again(state)}
    end
  end

  @impl true
  def handle_call(:port, _from, %{port: nil} = state), do: {:reply, {:error, :not_running}, state}
  def handle_call(:port, _from, state), do: {:reply, {:ok, state.port}, state}

  @impl true
  def handle_info(:try_again, state) do
    case listen(state) do
      {:ok, state} ->
        announce(state, nil)
        {:noreply, state}

      {:error, _reason} ->
        {:noreply, try_again(state)}
    end
  end

  def handle_info({:EXIT, httpd, reason}, %{httpd: httpd, manner: :strict} = state),
    do: {:stop, {:http_server_ended, reason}, state}

  def handle_info({:EXIT, httpd, reason}, %{httpd: httpd} = state) do
    Logger.error(
      "The HTTP server of #{inspect(state.context.name)} has ended: #{inspect(reason)}"
    )

    {:noreply, try_again(%{state | httpd: nil, port: nil})}
  end

  # Of one that could not start.
  def handle_info({:EXIT, _pid, _reason}, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, %{httpd: nil}), do: :ok
  def terminate(_reason, %{httpd: httpd}), do: :inets.stop(:stand_alone, httpd)

  defp try_again(state) do
    Process.send_after(self(), :try_again, @retry_after)
    state
  end

  defp listen(state) do
    with :ok <- available(),
         :ok <- free(state.context),
         {:ok, httpd} <- :inets.start(:httpd, options(state.context), :stand_alone) do
      [{id, _pid, :supervisor, _modules}] = :supervisor.which_children(httpd)
      {:ok, %{state | httpd: httpd, port: elem(id, 2)}}
    end
  end

  defp available do
    if Code.ensure_loaded?(:httpd), do: :ok, else: {:error, :inets_is_missing}
  end

  # The HTTP server fails with a report of each of its supervisors.
  defp free(%{port: 0}), do: :ok

  defp free(%{ip: ip, port: port}) do
    with {:ok, socket} <- :gen_tcp.listen(port, [family(ip), ip: ip, reuseaddr: true]),
         do: :gen_tcp.close(socket)
  end

  defp options(%{ip: ip, port: port} = context) do
    # Nothing of any directory is served, but it wants to have one.
    directory = :code.root_dir()

    [
      port: port,
      bind_address: ip,
      ipfamily: family(ip),
      server_name: ~c"snakepit",
      server_tokens: :none,
      server_root: directory,
      document_root: directory,
      modules: [Handler],
      customize: Headers,
      keep_alive: false,
      minimum_bytes_per_second: @bytes_per_second,
      max_clients: @max_clients,
      max_uri_size: @max_uri,
      max_header_size: @max_header,
      max_body_size: @max_body,
      max_content_length: @max_body,
      snakepit: context
    ]
  end

  defp family(ip) when tuple_size(ip) == 4, do: :inet
  defp family(ip) when tuple_size(ip) == 8, do: :inet6

  defp announce(state, nil), do: Logger.info("Snakepit's live page is at #{url(state)}")

  defp announce(state, token) do
    Logger.info(
      "Snakepit's live page is at #{url(state)} and the token to cancel streams there is #{token}"
    )
  end

  defp announce_failure(%{context: %{port: port, ip: ip}}, reason, token) do
    why =
      case reason do
        :eaddrinuse -> "another program listens there. Set another :port, or end that program"
        :eacces -> "ports below 1024 are for root. Set another :port"
        :eaddrnotavail -> "this machine has no such address. Set another :ip"
        :inets_is_missing -> "this release has no :inets. Add it to its applications"
        other -> inspect(other)
      end

    kept = if token, do: " The token to cancel streams there will be #{token}", else: ""

    Logger.error(
      "Snakepit's live page cannot be served at #{host(ip)}:#{port}: #{why}. " <>
        "It is tried again every #{div(@retry_after, 1000)} s; all else goes on." <> kept
    )
  end

  defp url(%{context: %{ip: ip}, port: port}), do: "http://#{host(ip)}:#{port}"

  defp host(ip) when tuple_size(ip) == 4, do: List.to_string(:inet.ntoa(ip))
  defp host(ip), do: "[#{:inet.ntoa(ip)}]"
end
