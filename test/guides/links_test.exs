defmodule Snakepit.Guides.LinksTest do
  use ExUnit.Case, async: true

  @files ["README.md", "CHANGELOG.md"] ++
           Path.wildcard("{guides,livebooks,bench}/*.{md,livemd}") ++ ["priv/js/README.md"]

  for file <- @files do
    test "the links of #{file} lead somewhere" do
      text = without_code(File.read!(unquote(file)))

      for [_link, target] <- Regex.scan(~r/\]\(([^)\s]+)\)/, text),
          not (target =~ ~r/^https?:/) do
        [path | anchor] = String.split(target, "#", parts: 2)
        path = if path == "", do: unquote(file), else: beside(unquote(file), path)
        assert File.exists?(path), "#{target} of #{unquote(file)}"
        for name <- anchor, do: assert(name in anchors(path), "#{target} of #{unquote(file)}")
      end
    end
  end

  defp beside(file, path), do: file |> Path.dirname() |> Path.join(path)

  defp without_code(text), do: String.replace(text, ~r/^```.*?^```/ms, "")

  # As GitHub and ExDoc make them out of headings.
  defp anchors(path) do
    for [_line, heading] <- Regex.scan(~r/^#+ (.*)$/m, without_code(File.read!(path))) do
      heading
      |> String.downcase()
      |> String.replace(~r/[^\p{L}\p{N} _-]/u, "")
      |> String.replace(" ", "-")
    end
  end
end
