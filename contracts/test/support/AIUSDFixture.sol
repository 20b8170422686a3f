// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DeployAIUSD} from "../../script/DeployAIUSD.s.sol";
import {AIUSD} from "../../src/AIUSD.sol";
import {Authority} from "../../src/Authority.sol";
import {Test} from "./Test.sol";

/// @notice aiUSD, deployed as on a chain, with one account for each role.
abstract contract AIUSDFixture is Test {
    uint256 internal constant START = 1_800_000_000;
    uint256 internal constant FUNDS = 100_000_000;
    bytes32 internal constant ORDER = keccak256("order 17/2026");

    AIUSD internal coin;
    Authority internal authority;
    address internal admin;
    address internal minter;
    address internal burner;
    address internal pauser;
    address internal freezer;
    address internal alice;
    address internal bob;
    uint256 internal aliceKey;

    function _fixture() internal {
        vm.warp(START);
        (admin,) = _account("admin");
        (minter,) = _account("minter");
        (burner,) = _account("burner");
        (pauser,) = _account("pauser");
        (freezer,) = _account("freezer");
        (alice, aliceKey) = _account("alice");
        (bob,) = _account("bob");
        DeployAIUSD deployment = new DeployAIUSD();
        authority = Authority(_deploy("Authority", abi.encode(deployment)));
        coin = AIUSD(_deploy("AIUSD", abi.encode(authority)));
        DeployAIUSD.Holders memory holders = DeployAIUSD.Holders(admin, minter, burner, pauser, freezer);
        deployment.giveRoles(authority, coin, holders, address(deployment));
        vm.startPrank(minter);
        coin.mint(alice, FUNDS);
        coin.mint(bob, FUNDS);
        vm.stopPrank();
    }

    function _freeze(address account, uint256 time) internal {
        vm.prank(freezer);
        coin.freeze(account, ORDER, uint48(block.timestamp + time));
    }
}
