defmodule Snakepit.Test.HexPackage do
  @moduledoc """
  The files that `mix hex.build` would put into the package: those that `:files` names, everything in the
  directories among them, without what matches one of `:exclude_patterns`.

  Hex itself is no part of Elixir, and need not be installed for the tests.
  """

  @doc """
  Their paths, relative to the project.
  """
  @spec files() :: [Path.t()]
  def files do
    package = Mix.Project.config()[:package]

    package[:files]
    |> Enum.flat_map(&Path.wildcard(&1, match_dot: true))
    |> Enum.flat_map(&within/1)
    |> Enum.uniq()
    |> Enum.reject(fn path -> Enum.any?(package[:exclude_patterns], &(path =~ &1)) end)
    |> Enum.sort()
  end

  defp within(path) do
    case File.lstat!(path) do
      %{type: :directory} -> path |> File.ls!() |> Enum.flat_map(&within(Path.join(path, &1)))
      _file -> [path]
    end
  end
end
